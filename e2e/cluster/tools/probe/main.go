// Command probe is what test pods run: it shows from inside a pod what the pod can reach and what it may do.
//
// I/O: as its subcommand says; answers go to standard output, and the last one to the termination message as well.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// How long one name or address may take to answer, and how much of an answer is shown.
const (
	timeout     = 5 * time.Second
	answerLimit = 4096
)

func main() {
	answer, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(answer)
	// Not there outside a pod.
	_ = os.WriteFile("/dev/termination-log", []byte(answer), 0o644)
}

func run(arguments []string) (string, error) {
	switch {
	case len(arguments) == 3 && arguments[0] == "serve":
		return "", serve(arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "get":
		return get(arguments[1])
	case len(arguments) == 2 && arguments[0] == "resolve":
		return resolve(arguments[1])
	case len(arguments) == 1 && arguments[0] == "rights":
		return rights()
	}
	return "", fmt.Errorf("usage: probe serve ADDRESS TEXT | get URL | resolve NAME | rights")
}

// serve answers every request on ADDRESS with TEXT until the process is ended.
func serve(address, text string) error {
	server := &http.Server{Addr: address, ReadHeaderTimeout: timeout, Handler: http.HandlerFunc(
		func(response http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(response, text) })}
	return fmt.Errorf("failed to serve on %s: %w", address, server.ListenAndServe())
}

func get(url string) (string, error) {
	// It shows what answers, not whom to trust: the cluster's authority is not known in every pod.
	client := http.Client{Timeout: timeout, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}}
	response, err := client.Get(url)
	if err != nil {
		return "", fmt.Errorf("failed to get %s: %w", url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return "", fmt.Errorf("failed to read %s: %w", url, err)
	}
	return fmt.Sprintf("%d %s", response.StatusCode, body), nil
}

func resolve(name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return "", fmt.Errorf("failed to resolve %s: %w", name, err)
	}
	return strings.Join(addresses, " "), nil
}

// rights tells who the process is and how it is confined: user, capabilities, seccomp mode, and whether the root is
// writable.
func rights() (string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", fmt.Errorf("failed to read the process status: %w", err)
	}
	words := []string{fmt.Sprintf("uid=%d", os.Getuid())}
	for _, line := range strings.Split(string(status), "\n") {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "CapEff", "NoNewPrivs", "Seccomp":
			words = append(words, key+"="+strings.TrimSpace(value))
		}
	}
	writable := os.Mkdir("/written", 0o755) == nil
	return strings.Join(append(words, fmt.Sprintf("root-writable=%t", writable)), " "), nil
}
