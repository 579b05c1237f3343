package sqlstore

import "strings"

// Kind is what a column holds.
type Kind uint8

// The kinds. Those of one kind are the same Go value from every database, and nil where there is none.
const (
	Integer Kind = iota // int64
	Boolean             // bool
	Text                // string
	Bytes               // []byte
)

// Column is one of a Table.
type Column struct {
	Name string
	Kind Kind
}

// Table is a table that holds data: what must be taken along where a database is moved. What nodes leave there for each other,
// and the history of the schema, are none.
type Table struct {
	Name    string
	Columns []Column
	Key     int  // how many of the columns, from the first, are the primary key
	Given   bool // the database gives the key, and gives none twice
	One     bool // there is one row, always
}

// Tables are those of every database, each behind those that it refers to.
var Tables = []Table{
	{Name: "users", Key: 1, Given: true, Columns: columns("user_id int, email text, email_folded text, instance_admin bool, created_at int, " +
		"updated_at int, password text, signed_in_at int")},
	{Name: "organizations", Key: 1, Given: true, Columns: columns("organization_id int, organization_name text, external_id text, metadata text, " +
		"created_at int, updated_at int")},
	{Name: "members", Key: 2, Columns: columns("organization_id int, user_id int, role int, created_at int")},
	{Name: "api_keys", Key: 1, Given: true, Columns: columns("key_id int, organization_id int, user_id int, key_name text, key_hint text, " +
		"scopes int, enabled bool, expires_at int, last_used_at int, created_at int, updated_at int, metadata text, restrictions text")},
	{Name: "quotas", Key: 1, Columns: columns("key_id int, period_start int, used int, generation int")},
	{Name: "tokens", Key: 1, Columns: columns("digest bytes, key_id int, expires_at int")},
	{Name: "leaked_tokens", Key: 1, Columns: columns("digest bytes, key_id int, organization_id int, leaked_at int")},
	{Name: "sessions", Key: 1, Given: true, Columns: columns("session_id int, digest bytes, user_id int, method int, ip text, user_agent text, " +
		"created_at int, last_used_at int, expires_at int")},
	{Name: "sign_in_links", Key: 1, Columns: columns("digest bytes, user_id int, created_at int, expires_at int")},
	{Name: "devices", Key: 1, Columns: columns("digest bytes, user_id int, last_used_at int")},
	{Name: "used_forms", Key: 1, Columns: columns("digest bytes, target_id int, used_at int")},
	{Name: "identities", Key: 2, Columns: columns("issuer text, subject text, user_id int, created_at int")},
	{Name: "audit_log", Key: 1, Columns: columns("audit_id int, occurred_at int, actor_user_id int, actor_key_id int, actor_session_id int, " +
		"action text, target_type text, target_id int, organization_id int, ip text, request_id text, outcome int, code text, before text, " +
		"after text, previous_hash bytes, hash bytes")},
	{Name: "audit_extent", Key: 1, One: true, Columns: columns("one int, pruned_id int, pruned_hash bytes, pruned_at int, last_id int, " +
		"last_hash bytes, last_at int")},
	{Name: "usage_counts", Key: 5, Columns: columns("organization_id int, key_id int, first_hour int, hours int, outcome int, checks int")},
	{Name: "usage_gone", Key: 2, Columns: columns("organization_id int, key_id int")},
}

var kinds = map[string]Kind{"int": Integer, "bool": Boolean, "text": Text, "bytes": Bytes}

// columns reads a list of names and kinds.
func columns(list string) []Column {
	var all []Column
	for _, one := range strings.Split(list, ", ") {
		name, kind, _ := strings.Cut(one, " ")
		known, ok := kinds[kind]
		if !ok {
			panic("column " + one) // the table above is wrong
		}
		all = append(all, Column{Name: name, Kind: known})
	}
	return all
}

// Names returns the names of the columns.
func (t Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// Select returns the statement that reads every row, in the order of the primary key. How text is put in order is up to the
// database, which is told by collate.
func (t Table) Select(collate string) string {
	key := t.Names()[:t.Key]
	for i, c := range t.Columns[:t.Key] {
		if c.Kind == Text {
			key[i] += collate
		}
	}
	return `SELECT ` + strings.Join(t.Names(), ", ") + ` FROM ` + t.Name + ` ORDER BY ` + strings.Join(key, ", ")
}

// Rows are the rows of a table, one after the other.
type Rows interface {
	// Next goes on to the next row, and to the first. It returns false behind the last, and where reading failed.
	Next() bool
	// Values returns the row, with a value for each column. It may be kept.
	Values() ([]any, error)
	// Err returns why reading failed; nil: it did not.
	Err() error
	// Close ends reading. Closing again does nothing.
	Close() error
}
