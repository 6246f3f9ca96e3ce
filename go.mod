module tokar

go 1.26.5
