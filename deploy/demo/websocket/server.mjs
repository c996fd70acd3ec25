// The demo's second application: says over a WebSocket what time it is, and does nothing else.
//   PORT   where it listens, on 127.0.0.1
import http from "node:http";

import { WebSocketServer } from "ws";

const port = Number(process.env.PORT ?? 3001);
const server = http.createServer((request, response) => response.writeHead(426).end("this speaks WebSocket\n"));
const sockets = new WebSocketServer({ server, maxPayload: 1024 });
sockets.on("connection", (socket) => {
  const timer = setInterval(() => socket.send(new Date().toISOString()), 1000);
  socket.on("close", () => clearInterval(timer));
});
server.listen(port, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${port}`));
