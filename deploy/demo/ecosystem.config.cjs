// PM2's description of the demo's applications. From the environment of `pm2 start`: PORTAL_PORT, PORTAL_CONTROL and, where
// there is a database, PORTAL_DATABASE with PGPORT, which server.mjs explains. Beside a link `current` the portal is
// started from the release that it leads to.
const fs = require("node:fs");
const path = require("node:path");

const current = path.join(__dirname, "current");
const portal = fs.existsSync(current) ? current : path.join(__dirname, "portal");
const websocket = path.join(__dirname, "websocket");

const apps = [
  {
    name: "boutique-client-portal",
    script: path.join(portal, "server.mjs"),
    cwd: portal,
    exec_mode: "fork",
    kill_timeout: 1600,
    env: {
      PORT: process.env.PORTAL_PORT || "3000",
      PORTAL_CONTROL: process.env.PORTAL_CONTROL || "",
      PORTAL_DATABASE: process.env.PORTAL_DATABASE || "",
      PGPORT: process.env.PGPORT || "5432",
      PGUSER: "boutique",
      PGDATABASE: "boutique",
      NODE_ENV: "production",
    },
  },
];
if (process.env.WEBSOCKET_PORT) {
  apps.push({
    name: "boutique-websocket-server",
    script: path.join(websocket, "server.mjs"),
    cwd: websocket,
    exec_mode: "fork",
    env: { PORT: process.env.WEBSOCKET_PORT, NODE_ENV: "production" },
  });
}
module.exports = { apps };
