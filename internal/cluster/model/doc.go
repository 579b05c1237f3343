// Package model holds the protocol of internal/cluster against a model checker: protocol.pml says what the nodes and the
// database do, and the test has spin go through every order in which they may do it. It shows two things: that the promise of
// a deleted key's death holds in all of them, and that it does not hold any more when one of the rules is broken. A
// counterexample is printed step by step.
//
// The model is small where the program is large: one key, two nodes that matter, two changes, clocks that tick twice in a
// lease. What the program adds to it is for the tests of the program.
package model
