module github.com/apikeyd/apikeyd

go 1.26
