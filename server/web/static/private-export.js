// What was found, for other programs: GeoJSON (RFC 7946), GPX 1.1, CSV. The same texts as owner/export.py makes.
import { withinOf } from "./private-read.js";

const BATTERY = ["full", "medium", "low", "critical"];
const CLASSES = ["own_site", "vehicle", "partner", "crowd"];
const COLUMNS =
  ["tag", "heard_at", "lat", "lon", "accuracy_m", "rssi_dbm", "battery", "moved", "clock_lost", "gateway"];
// What a spreadsheet takes for the beginning of a formula; a blank or an invisible character before it hides nothing.
const FORMULA = /^[\s\x00-\x20\u200b\ufeff]*[=+\-@\t\r|%\uff0b\uff0d\uff1d\uff20]/;
const NOT_XML = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

export const receiverOf = ({ gatewayClass }) => CLASSES[gatewayClass] ?? "unknown";
export const batteryOf = ({ status }) => BATTERY[status >>> 6];
export const movedOf = ({ status }) => Boolean(status & 32);
export const clockLostOf = ({ status }) => Boolean(status & 8);
const stampOf = (unixS) => new Date(unixS * 1000).toISOString().replace(".000Z", "Z");

const rowOf = (point, name) => ({
  tag: name, heard_at: stampOf(point.unixS), lat: point.lat, lon: point.lon, accuracy_m: withinOf(point),
  rssi_dbm: point.rssiDbm, battery: batteryOf(point), moved: movedOf(point), clock_lost: clockLostOf(point),
  gateway: receiverOf(point),
});

export function geojson(points, name) {
  const features = points.map((point) => {
    const { lat, lon, ...properties } = rowOf(point, name);
    return { type: "Feature", geometry: { type: "Point", coordinates: [lon, lat] }, properties };
  });
  return JSON.stringify({ type: "FeatureCollection", features });
}

export function gpx(points, name) {
  const title = name.replace(NOT_XML, "\ufffd")
    .replaceAll("&", "&amp;").replaceAll(">", "&gt;").replaceAll("<", "&lt;");
  const made = points.map((point) => rowOf(point, name)).map((row) =>
    `<trkpt lat="${row.lat.toFixed(7)}" lon="${row.lon.toFixed(7)}"><time>${row.heard_at}</time>` +
    `<cmt>within ${row.accuracy_m} m, ${row.rssi_dbm} dBm, ${row.gateway}</cmt></trkpt>`).join("\n");
  return `<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" creator="Hearsight" xmlns="http://www.topografix.com/GPX/1/1">
<trk><name>${title}</name><trkseg>
${made}
</trkseg></trk>
</gpx>
`;
}

export function csv(points, name) {
  const harmless = FORMULA.test(name) ? `'${name}` : name;
  const said = (value) => value === true ? "True" : value === false ? "False" : String(value);
  const cell = (value) => /[",\r\n]/.test(said(value)) ? `"${said(value).replaceAll('"', '""')}"` : said(value);
  const rows = points.map((point) => Object.values(rowOf(point, harmless)).map(cell));
  return [COLUMNS, ...rows].map((row) => `${row.join(",")}\r\n`).join("");
}
