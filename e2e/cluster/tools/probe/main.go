// Command probe is what test pods run: it shows from inside a pod what the pod can reach and what it may do, and ends in
// every way that a pod can end.
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
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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
	_ = os.WriteFile(messagePath(), []byte(answer), 0o600)
}

// messagePath is where the last words go: a process node has them elsewhere than a container, and says where.
func messagePath() string {
	if path := os.Getenv("SHOWRUNNER_TERMINATION"); path != "" {
		return path
	}
	return "/dev/termination-log"
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
	case len(arguments) == 2 && arguments[0] == "exit":
		return "", exit(arguments[1])
	case len(arguments) == 2 && arguments[0] == "say":
		return say(arguments[1])
	case len(arguments) == 2 && arguments[0] == "read":
		return read(arguments[1])
	case len(arguments) == 2 && arguments[0] == "eat":
		return "", eat(arguments[1])
	case len(arguments) == 3 && arguments[0] == "fill":
		return "", fill(arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "hold":
		return hold(arguments[1])
	}
	return "", fmt.Errorf("usage: probe serve ADDRESS TEXT | get URL | resolve NAME | rights | exit CODE | say BYTES | " +
		"read FILE | eat MIB | fill FOLDER MIB | hold obey|ignore")
}

// exit ends the process with a code.
func exit(code string) error {
	number, err := strconv.Atoi(code)
	if err == nil {
		os.Exit(number)
	}
	return fmt.Errorf("failed to understand the code %q: %w", code, err)
}

// say gives as many bytes as are asked for: first one 'a', in the end one 'z', 'x' between.
func say(bytes string) (string, error) {
	number, err := strconv.Atoi(bytes)
	if err != nil || number < 2 {
		return "", fmt.Errorf("failed to understand the number of bytes %q", bytes)
	}
	return "a" + strings.Repeat("x", number-2) + "z", nil
}

func read(file string) (string, error) {
	content, err := os.ReadFile(file)
	return string(content), err
}

// eat takes memory, page by page, and keeps it until the process is ended.
func eat(mib string) error {
	number, err := strconv.Atoi(mib)
	if err != nil {
		return fmt.Errorf("failed to understand the number of MiB %q: %w", mib, err)
	}
	var kept [][]byte
	for range number {
		piece := make([]byte, 1<<20)
		for at := 0; at < len(piece); at += 4096 {
			piece[at] = 1
		}
		kept = append(kept, piece)
		// A container's limit holds at once, a process node's within its period: not all at a stroke.
		time.Sleep(5 * time.Millisecond)
	}
	fmt.Println(len(kept), "MiB taken")
	_, err = hold("obey")
	return err
}

// fill writes a file into FOLDER and stays until it is killed: the kubelet reports what ends with code 0 while it is being
// evicted now as evicted and now as succeeded.
func fill(folder, mib string) error {
	number, err := strconv.Atoi(mib)
	if err != nil {
		return fmt.Errorf("failed to understand the number of MiB %q: %w", mib, err)
	}
	if err := os.WriteFile(filepath.Join(folder, "filled"), make([]byte, number<<20), 0o600); err != nil {
		return err
	}
	_, err = hold("ignore")
	return err
}

// hold stays until it is asked to end and says so, or until it is killed.
func hold(how string) (string, error) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	fmt.Println("holding")
	for {
		<-asked
		if how == "obey" {
			return "asked to end", nil
		}
	}
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
