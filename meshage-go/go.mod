module meshage

go 1.22
