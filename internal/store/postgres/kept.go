package postgres

import (
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// kept is a row that was kept from an answer.
type kept struct {
	types  *pgtype.Map
	fields []pgconn.FieldDescription
	values [][]byte
}

// keep keeps the first n columns of a row.
func keep(rows pgx.Rows, n int) kept {
	k := kept{types: rows.Conn().TypeMap(), fields: slices.Clone(rows.FieldDescriptions()[:n]), values: make([][]byte, n)}
	for i := range k.values {
		k.values[i] = slices.Clone(rows.RawValues()[i])
	}
	return k
}

// Scan reads the row.
func (k kept) Scan(dest ...any) error { return pgx.ScanRow(k.types, k.fields, k.values, dest...) }
