"""A small client of the API server and of the store, for the bench's own processes. I/O: HTTP to both."""

import base64
import http.client
import json
import ssl
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

AGENT = "showrunner-bench"
TIMEOUT_S = 60
APPLYING = 16  # requests at once
TITLES = "/apis/showrunner.dev/v1alpha1/namespaces/{}/titleenrichments"


class Api:
    """The API server with the rights of a kubeconfig; one connection for each thread."""

    def __init__(self, kubeconfig):
        document = json.loads(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        address = urllib.parse.urlsplit(cluster["server"])
        self.host, self.port = address.hostname, address.port
        self.tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        # The ssl module reads certificates from files only.
        pem = kubeconfig.with_suffix(".pem")
        pem.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        self.tls.load_cert_chain(pem)
        self.local = threading.local()

    def connection(self):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=TIMEOUT_S)
        return self.local.connection

    def ask(self, method, path, body=None, kind="application/json"):
        """(status, document)."""
        headers = {"user-agent": AGENT, "accept": "application/json"}
        if body is not None:
            headers["content-type"] = kind
            body = json.dumps(body)
        try:
            return self.ask_once(method, path, body, headers)
        except ConnectionError:
            # A server may close a connection that rests, just as the next request is sent. Only a read is safe to send again.
            if method != "GET":
                raise
            return self.ask_once(method, path, body, headers)

    def ask_once(self, method, path, body, headers):
        connection = self.connection()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (http.client.HTTPException, OSError):
            connection.close()  # the next request opens it again
            raise

    def must(self, method, path, body=None, kind="application/json"):
        """The document of an answer that is good."""
        status, document = self.ask(method, path, body, kind)
        if status >= 300:
            raise RuntimeError(f"failed to {method} {path}: the API server answers {status}: {document.get('message', document)}")
        return document

    def patch(self, path, body):
        return self.ask("PATCH", path, body, "application/merge-patch+json")

    def all(self, path, **query):
        """Every object of a list, page by page."""
        query["limit"] = 500
        while True:
            page = self.must("GET", f"{path}?{urllib.parse.urlencode(query)}")
            yield from page["items"]
            if not (more := page["metadata"].get("continue")):
                return
            query["continue"] = more

    def watch(self, path, **query):
        """What comes, for ever: (what, object). Begins with all that is there; a watch that ends is begun again."""
        while True:
            connection = http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=600)
            listed = self.must("GET", f"{path}?{urllib.parse.urlencode(query)}")
            yield from (("ADDED", item) for item in listed["items"])
            version = listed["metadata"]["resourceVersion"]
            asked = urllib.parse.urlencode(query | {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"})
            connection.request("GET", f"{path}?{asked}", headers={"user-agent": AGENT})
            for line in connection.getresponse():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    break
                if event["type"] != "BOOKMARK":
                    yield event["type"], event["object"]


def at_once(work, items):
    """Does `work` for each item, so many side by side; an error of one is an error of all."""
    with ThreadPoolExecutor(APPLYING) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()


class Signed:
    """Requests to the store by URLs that somebody else has signed; one connection for each thread."""

    def __init__(self):
        self.local = threading.local()

    def ask(self, method, url, body=None, headers=None):
        address = urllib.parse.urlsplit(url)
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_S)
        self.local.connection.request(method, f"{address.path}?{address.query}", body, headers or {})
        answer = self.local.connection.getresponse()
        return answer.status, answer.read()
