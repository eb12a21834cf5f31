// Command storelog stands before the S3 server and writes one JSON line per request with the bytes that really crossed
// the wire, which the server's own log does not tell for streamed bodies.
//
// I/O: storelog LISTEN UPSTREAM LOGFILE: serves HTTP on LISTEN, forwards to UPSTREAM (both host:port), appends to LOGFILE.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// How long an idle or silent client may keep its connection; a body may take as long as it needs.
const (
	headerTimeout = 30 * time.Second
	idleTimeout   = 2 * time.Minute
)

// Entry is one line of the log. Sizes are bytes of the body. Query strings are left out: they may hold signatures.
type Entry struct {
	Time         time.Time `json:"time"`
	Method       string    `json:"method"`
	Path         string    `json:"path"`
	Range        string    `json:"range,omitempty"`
	Status       int       `json:"status"`
	Received     int64     `json:"received"`
	Sent         int64     `json:"sent"`
	Milliseconds int64     `json:"milliseconds"`
	UserAgent    string    `json:"userAgent,omitempty"`
	// Aborted: the body did not reach the client whole.
	Aborted bool `json:"aborted,omitempty"`
}

type countingReader struct {
	io.ReadCloser
	// Atomic: the transport may still be reading when an early answer ends the request.
	count atomic.Int64
}

func (r *countingReader) Read(buffer []byte) (int, error) {
	n, err := r.ReadCloser.Read(buffer)
	r.count.Add(int64(n))
	return n, err
}

type countingWriter struct {
	http.ResponseWriter
	status int
	count  int64
}

func (w *countingWriter) WriteHeader(status int) {
	// 1xx answers precede the real one.
	if status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(buffer []byte) (int, error) {
	n, err := w.ResponseWriter.Write(buffer)
	w.count += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController flush the real writer.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: storelog LISTEN UPSTREAM LOGFILE")
	}
	listen, upstream, path := os.Args[1], os.Args[2], os.Args[3]
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatalf("failed to open the log: %v", err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.Out.URL.Scheme, request.Out.URL.Host = "http", upstream
			request.Out.Host = request.In.Host // part of the signature
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			DisableCompression:  true, // bodies pass as they are
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     idleTimeout,
		},
	}
	var lock sync.Mutex
	handler := http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		started := time.Now()
		body := &countingReader{ReadCloser: request.Body}
		request.Body = body
		writer := &countingWriter{ResponseWriter: response, status: http.StatusOK}
		finished := false
		// The proxy panics with http.ErrAbortHandler when the copy breaks off: the line is written then, too.
		defer func() {
			line, err := json.Marshal(Entry{
				Time: started.UTC(), Method: request.Method, Path: request.URL.Path, Range: request.Header.Get("Range"),
				Status: writer.status, Received: body.count.Load(), Sent: writer.count,
				Milliseconds: time.Since(started).Milliseconds(), UserAgent: request.UserAgent(), Aborted: !finished,
			})
			if err == nil {
				lock.Lock()
				_, err = file.Write(append(line, '\n'))
				lock.Unlock()
			}
			if err != nil {
				log.Printf("failed to write a log line: %v", err)
			}
		}()
		proxy.ServeHTTP(writer, request)
		finished = true
	})
	server := &http.Server{Addr: listen, Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout}
	log.Fatalf("failed to serve: %v", server.ListenAndServe())
}
