module meshage

go 1.21
