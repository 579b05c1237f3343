// Package limit counts the requests of keys against their limits and quotas.
//
// A limit, so many requests in a window of time, is counted by the generic cell rate algorithm: a key may make all its requests at
// once, and they come back one by one, evenly. One number says how much is used, so that a check is one step under one lock, and
// several limits are taken together or not at all. Nothing is rounded: what remains and when it comes back is exact. It is counted
// in this process (Memory).
//
// What is kept of a limit is short-lived and no loss: a process that starts anew starts with whole limits. A quota is another
// matter, and is with the database.
package limit
