module heddle/bench/peer/consul-template

go 1.24.4

require github.com/hashicorp/consul-template v0.41.1
