module cni-async-oracle

go 1.21

require github.com/containernetworking/cni v1.2.3

require (
	github.com/vishvananda/netns v0.0.4 // indirect
	golang.org/x/sys v0.20.0 // indirect
)
