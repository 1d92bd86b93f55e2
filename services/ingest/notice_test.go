package ingest

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

func TestWhatANoticeMeans(t *testing.T) {
	for _, c := range []struct {
		name string
		m    pgproto3.NoticeResponse
		want meaning
	}{
		{"a publication that is not there", pgproto3.NoticeResponse{Routine: "LoadPublications", Message: `skipped loading publication "pub"`}, meansSkipped},
		{"in another language", pgproto3.NoticeResponse{Routine: "LoadPublications", Message: `Laden von »pub« übersprungen`}, meansSkipped},
		{"a standby that is down", pgproto3.NoticeResponse{Routine: "StandbySlotsHaveCaughtup", Message: `replication slot "s" specified in parameter "synchronized_standby_slots" does not have active_pid`}, meansWaiting},
		{"anything else", pgproto3.NoticeResponse{Routine: "ProcessConfigFile", Message: `"pub" was reloaded`}, meansNothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := meaningOf(&c.m); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}
