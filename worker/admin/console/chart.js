// Plot rates over time as plain SVG: records and errors a second, and the limit.

import { h, svg } from "./dom.js"
import { count, rate, time } from "./words.js"

const HEIGHT = 190
const [TOP, RIGHT, BOTTOM, LEFT] = [12, 12, 24, 44]

// `points`: [{at, rate, errors}] in seconds since 1970; null: not known then.
export function chart(points, limit, width) {
  const highest = nice(Math.max(limit || 0, 1, ...points.map((each) => Math.max(each.rate || 0, each.errors || 0))) * 1.05)
  const [from, to] = [points[0].at, Math.max(points.at(-1).at, points[0].at + 1)]
  const x = (at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT)
  const y = (value) => HEIGHT - BOTTOM - (value / highest) * (HEIGHT - TOP - BOTTOM)
  return h("figure", {},
    svg("svg", { class: "chart", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": told(points, limit) },
      [0, 0.5, 1].map((share) => level(y(share * highest), count(share * highest), width)),
      clock(x(from), from, "start"), clock(x(to), to, "end"),
      limit && svg("line", { class: "limit", x1: LEFT, x2: width - RIGHT, y1: y(limit), y2: y(limit) }),
      svg("path", { class: "rate", d: line(points, "rate", x, y) }),
      svg("path", { class: "errors", d: line(points, "errors", x, y) })),
    h("figcaption", {}, key("rate", "records/s"), key("errors", "errors/s"), limit && key("limit", `limit ${rate(limit)}`)))
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 4, 5, 10].map((step) => step * power).find((step) => step >= value)
}

function level(y, label, width) {
  return [svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
    svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, label)]
}

function clock(x, at, anchor) {
  return svg("text", { x, y: HEIGHT - 6, "text-anchor": anchor }, time(new Date(at * 1000)))
}

function line(points, field, x, y) {
  let pen = "M"
  return points.map((each) => {
    if (each[field] == null) {
      pen = "M"
      return ""
    }
    const drawn = `${pen}${x(each.at).toFixed(1)} ${y(each[field]).toFixed(1)}`
    pen = "L"
    return drawn
  }).join("")
}

function key(name, words) {
  return h("span", { class: "key" }, svg("svg", { width: 22, height: 8, "aria-hidden": "true" }, svg("line", { class: name, x1: 1, x2: 21, y1: 4, y2: 4 })), ` ${words}`)
}

function told(points, limit) {
  const rates = points.map((each) => each.rate ?? 0)
  const errors = points.map((each) => each.errors ?? 0)
  return `Over time: at last ${rate(rates.at(-1))} records, at most ${rate(Math.max(...rates))}; at last ${rate(errors.at(-1))} errors, `
    + `at most ${rate(Math.max(...errors))}${limit ? `; the limit is ${rate(limit)}` : ""}`
}
