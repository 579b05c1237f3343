package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
)

//go:embed assets
var assets embed.FS

// asset is a file that pages load. Its address changes with its content, so that a browser never asks twice for one and
// never mixes those of two versions.
type asset struct {
	path        string // without the query
	version     string // the query
	contentType string
	body        []byte
}

// newAsset returns the file in the folder assets that goes by the last part of a path. It panics where there is none, which
// the tests rule out.
func newAsset(at, contentType string) *asset {
	body, err := assets.ReadFile("assets/" + path.Base(at))
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(body)
	return &asset{at, hex.EncodeToString(sum[:8]), contentType, body}
}

// Address is what pages name.
func (a *asset) Address() string { return a.path + "?" + a.version }

// ServeHTTP answers with the file.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", policy) // a browser may be sent to the icon itself
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if r.URL.RawQuery == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache") // what another version of the server has meant is not known
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // a reader who is gone does not miss it
	}
}
