module showrunner.dev/e2e/storelog

go 1.25.0
