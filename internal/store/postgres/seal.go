package postgres

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

// Whoever may connect to a database may notify whatever they like. What a notification says is believed where it ends in a seal, which
// only those can make who may read the tables: it is made with a secret that stands there.

// sealed returns the SQL for a payload with its seal. secret and payload are SQL, too.
func sealed(channel, payload, secret string) string {
	inner := `sha256(` + secret + ` || convert_to('` + channel + ` ' || ` + payload + `, 'UTF8'))`
	return `(` + payload + ` || ' ' || encode(sha256(` + secret + ` || ` + inner + `), 'base64'))`
}

// opened returns what was sealed, false where anybody may have said it.
func opened(channel, payload string, secret []byte) (string, bool) {
	end := strings.LastIndexByte(payload, ' ')
	if end < 0 || len(secret) == 0 {
		return "", false
	}
	said := payload[:end]
	inner := sha256.Sum256(append(secret[:len(secret):len(secret)], channel+" "+said...))
	outer := sha256.Sum256(append(secret[:len(secret):len(secret)], inner[:]...))
	want := base64.StdEncoding.EncodeToString(outer[:])
	if subtle.ConstantTimeCompare([]byte(payload[end+1:]), []byte(want)) != 1 {
		return "", false
	}
	return said, true
}
