module cni-async-oracle130

go 1.21

require (
	cni-async-oracle v0.0.0
	github.com/containernetworking/cni v1.3.0
)

replace cni-async-oracle => ../oracle
