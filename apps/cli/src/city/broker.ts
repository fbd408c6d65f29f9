import { createServer } from "node:net";
import { onStop } from "@msec/service";
import { Aedes } from "aedes";

// The embedded MQTT broker (aedes, MQTT 3.1.1): loopback only, nothing kept. Devices keep what no operator has receipted.

const port = Number(process.argv[2]);
if (!Number.isInteger(port)) {
  process.stderr.write("usage: broker PORT\n");
  process.exit(2);
}
const aedes = await Aedes.createBroker({ queueLimit: 1_000_000 });
const server = createServer(aedes.handle);
server.listen(port, "127.0.0.1");
onStop(
  () =>
    new Promise((resolve) => {
      aedes.close(() => server.close(() => resolve()));
    }),
);
