package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// nodeCount is how many nodes a cluster has where that is what counts.
const nodeCount = 3

// databases is a PostgreSQL server of the measurement's own, which waits for the disk as it does by default.
type databases struct{ *postgrestest.Server }

// startDatabases starts the server. settings are written as in "shared_buffers=1GB".
func startDatabases(settings ...string) (databases, error) {
	s, err := postgrestest.Launch(append([]string{"shared_buffers=1GB", "max_wal_size=4GB"}, settings...)...)
	return databases{s}, err
}

// create makes a database, empty or like another one, and returns its URL.
func (d databases) create(ctx context.Context, name, like string) (string, error) {
	statement := "CREATE DATABASE " + name
	if like != "" {
		statement += " TEMPLATE " + like
	}
	return d.URL(name), execute(ctx, d.URL("postgres"), statement)
}

// fill makes a database with so many keys, and returns its URL.
func (d databases) fill(ctx context.Context, name string, keys int64) (string, error) {
	url, err := d.create(ctx, name, "")
	if err != nil {
		return "", err
	}
	return url, keyfile.MakePostgres(ctx, url, keys)
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, url, statement string) error {
	return withConnection(ctx, url, func(db *pgx.Conn) error {
		_, err := db.Exec(ctx, statement)
		return err
	})
}

func withConnection(ctx context.Context, url string, use func(*pgx.Conn) error) (err error) {
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()
	return use(db)
}

// nodes are servers on one database.
type nodes []*server

// startNodes starts nodes one after the other.
func (b *bench) startNodes(ctx context.Context, database string, n int, flags ...string) (all nodes, err error) {
	for i := range n {
		s, err := b.startServer(ctx, database, append([]string{"--node-name", fmt.Sprintf("node-%d", i+1)}, flags...)...)
		if err != nil {
			return nil, errors.Join(err, all.stop())
		}
		all = append(all, s)
	}
	return all, nil
}

// clients returns a client of each node's management API, with a key of the large organization.
func (all nodes) clients() (clients []*client.Client, err error) {
	for _, s := range all {
		c, err := client.New(s.management, client.WithAPIKey(caller()))
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func (all nodes) stop() error {
	var errs []error
	for _, s := range all {
		errs = append(errs, s.stop())
	}
	return errors.Join(errs...)
}

// cluster is nodes on a database of a server of their own.
type cluster struct {
	databases
	nodes
}

// startCluster starts as many nodes as a cluster has, on a database with so many keys.
func (b *bench) startCluster(ctx context.Context, keys int64) (c cluster, err error) {
	if c.databases, err = startDatabases(); err != nil {
		return c, err
	}
	database, err := c.fill(ctx, "keys", keys)
	if err == nil {
		c.nodes, err = b.startNodes(ctx, database, nodeCount)
	}
	if err != nil {
		c.Discard()
	}
	return c, err
}

// stop stops the nodes, and then what they are on.
func (c cluster) stop() error {
	defer c.Discard()
	return c.nodes.stop()
}
