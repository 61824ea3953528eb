module meshage-driver

go 1.22

require meshage v0.0.0

replace meshage => ../../../meshage-go
