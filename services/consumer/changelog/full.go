package changelog

import (
	"context"
	"fmt"
)

// NearlyFull reports whether the change log is about to refuse what comes, or to lose what has not been read: nothing that can wait is to
// be added to what the server has to write then.
func (l *Log) NearlyFull(ctx context.Context) (bool, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("look how full the change log is: %w", err)
	}
	return nearlyFull(info.State.Bytes, info.Config.MaxBytes), nil
}

// nearlyFull is so from three quarters of the limit on; a limit of none is not positive.
func nearlyFull(bytes uint64, limit int64) bool { return limit > 0 && bytes >= uint64(limit)/4*3 }
