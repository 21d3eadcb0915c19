"""A server that speaks tensors to those who have its key, and asks one of ours: `tensors.py URL` prints its port."""

import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.request import Request, urlopen

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def allowed(self):
        allowed = self.headers.get("authorization") == "Bearer key"
        if not allowed:
            self.reply(401, {"error": "no key"})
        return allowed

    def do_GET(self):
        if self.allowed():
            self.reply(200, {"name": "iris", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self.allowed():
            return
        [tensor] = asked["inputs"]
        assert (tensor["name"], tensor["datatype"]) == ("x", "FP32"), tensor
        count, width = tensor["shape"]
        data = tensor["data"]
        instances = [data[row * width:(row + 1) * width] for row in range(count)]
        body = json.dumps({"instances": instances}).encode()
        given = urlopen(Request(sys.argv[1], body, {"content-type": "application/json"}))
        given = json.load(given)["predictions"]
        labels = ["setosa", "versicolor", "virginica"]
        self.reply(200, {"model_name": "iris", "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [count, 3],
             "data": [p for row in given for p in row["probabilities"]]},
            {"name": "label", "datatype": "INT64", "shape": [count, 1],
             "data": [labels.index(row["label"]) for row in given]}]})

server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
