//go:build unix

package pgtemp

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// account is the user that the server runs as.
type account struct {
	name       string
	credential *syscall.Credential // nil: ourselves
}

// serverAccount is this user, or, because Postgres refuses root, the user postgres or nobody.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return account{name: name, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return account{}, errors.New("this is root, as which Postgres does not run, and there is no user postgres or nobody " +
		"to run it as; run `useradd --system postgres`")
}

// String is for error messages: a common mistake is a directory that the other user cannot reach, below /root for example.
func (a account) String() string {
	if a.credential == nil {
		return "this user"
	}
	return "user " + a.name
}

// own gives a directory to the account.
func (a account) own(dir string) error {
	if a.credential == nil {
		return nil
	}
	return os.Chown(dir, int(a.credential.Uid), int(a.credential.Gid))
}
