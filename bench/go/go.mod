module meshage-bench

go 1.21

require meshage v0.0.0

replace meshage => ../../meshage-go
