// PM2's description of the demo's application. From the environment of `pm2 start`: PORTAL_PORT and PORTAL_CONTROL, which
// server.mjs explains.
const path = require("node:path");

module.exports = {
  apps: [
    {
      name: "boutique-client-portal",
      script: path.join(__dirname, "portal", "server.mjs"),
      cwd: path.join(__dirname, "portal"),
      exec_mode: "fork",
      kill_timeout: 1600,
      env: {
        PORT: process.env.PORTAL_PORT || "3000",
        PORTAL_CONTROL: process.env.PORTAL_CONTROL || "",
        NODE_ENV: "production",
      },
    },
  ],
};
