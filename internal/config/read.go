package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// readFile reads a file of at most limit bytes. Its errors do not repeat the path, which may be a secret that
// somebody wrote in place of the path to it.
func readFile(path string, limit Size) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("is a folder, not a file")
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, reason(err)
	}
	if len(data) > int(limit) {
		return nil, fmt.Errorf("is larger than %s, too large for a file of this kind", limit)
	}
	return data, nil
}

// reason says why a file could not be read, without its path.
func reason(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("the user that apikeyd runs as may not read the file")
	}
	if bare, ok := errors.AsType[*fs.PathError](err); ok {
		err = bare.Err
	}
	return fmt.Errorf("the file cannot be read: %w", err)
}
