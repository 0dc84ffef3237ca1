// Standard input: one MQTT body a line. Standard output: each as CNCF's own SDK understands it, or why it does not.
import { readFileSync } from "node:fs";
import { MQTT } from "cloudevents";

for (const body of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const message = { PUBLISH: { "Content Type": "application/cloudevents+json" }, headers: {}, body };
  try {
    const event = MQTT.toEvent(message, true);
    event.validate();
    console.log(JSON.stringify(event));
  } catch (fault) {
    console.log(JSON.stringify({ fault: String(fault), errors: fault.errors ?? [] }));
  }
}
