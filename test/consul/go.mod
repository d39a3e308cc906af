module heddle/test/consul

go 1.19

require github.com/hashicorp/consul v1.13.9
