package console

import (
	"net/http"
	"strings"
)

// mux says what is answered on which path, and to whom.
func (c *Console) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for name, a := range assets() {
		if name == "index.html" {
			mux.HandleFunc("GET "+Path+"/{$}", a.file)
			continue
		}
		mux.HandleFunc("GET "+Path+"/"+name, a.file)
	}
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, Path+"/", http.StatusSeeOther) })

	api := func(pattern string, needs level, f http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+Path+"/api/"+path, func(w http.ResponseWriter, r *http.Request) {
			switch who := c.who(r); {
			case who == nobody && needs != nobody:
				fail(w, http.StatusUnauthorized, "There is no session, or it is over. Sign in again.")
			case needs == full && who != full:
				fail(w, http.StatusForbidden, "This session may look, but it sees no rows and changes nothing.")
			default:
				f(w, r)
			}
		})
	}
	api("GET session", nobody, c.session)
	api("POST session", nobody, c.session)
	api("DELETE session", nobody, c.session)
	api("GET pulse", viewer, c.tellPulse)
	api("GET shapes", viewer, c.list)
	api("GET shapes/{shape}", viewer, c.get)
	api("GET events", viewer, c.events)
	// Rows, and what changes something.
	api("GET shapes/{shape}/live", full, c.live)
	api("POST check", full, c.check)
	api("POST shapes", full, c.create)
	api("POST shapes/{shape}/fold", full, c.fold)
	api("POST shapes/{shape}/delete", full, c.remove)
	api("POST explain", full, c.explain)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fail(w, http.StatusNotFound, "There is nothing here.") })
	return mux
}
