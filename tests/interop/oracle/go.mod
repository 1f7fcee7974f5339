module cni-async-oracle

go 1.21

require github.com/containernetworking/cni v1.2.3
