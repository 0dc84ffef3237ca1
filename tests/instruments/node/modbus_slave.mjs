// A Modbus slave by modbus-serial: neither our code nor pymodbus's. It says "ready" once it can be asked.
// node modbus_slave.mjs rtu PATH UNIT [DELAY_MS of holding registers] | node modbus_slave.mjs tcp PORT UNIT
// Holding registers 0..63 hold 1000 + address, input registers 2000 + address; coils are off, inputs alternate.
import modbus from "modbus-serial";

const [, , way, place, unit, delay] = process.argv;
const SIZE = 64;
const later = (value) => new Promise((done) => setTimeout(() => done(value), Number(delay)));
const table = (first) => Array.from({ length: SIZE }, (_, n) => first(n));
const holding = table((n) => 1000 + n);
const coils = table(() => false);

function within(address) {
  if (address >= SIZE) throw { modbusErrorCode: 2 };
  return address;
}

const vector = {
  getHoldingRegister: (address) => (delay ? later(holding[within(address)]) : holding[within(address)]),
  getInputRegister: (address) => 2000 + within(address),
  getCoil: (address) => coils[within(address)],
  getDiscreteInput: (address) => within(address) % 2 === 1,
  setRegister: (address, value) => { holding[within(address)] = value; },
  setRegisterArray: (address, values) => { // else it says yes after the first
    within(address + values.length - 1);
    values.forEach((value, n) => { holding[address + n] = value; });
  },
  setCoil: (address, value) => { coils[within(address)] = value; },
};

const unitID = Number(unit);
const server = way === "tcp"
  ? new modbus.ServerTCP(vector, { host: "127.0.0.1", port: Number(place), unitID })
  : new modbus.ServerSerial(vector, { path: place, baudRate: 9600, unitID, interval: 5 });
server.on("initialized", () => console.log("ready"));
server.on("error", (fault) => { console.error(fault); process.exit(1); });
server.on("serverError", (fault) => { console.error(fault); process.exit(1); });
