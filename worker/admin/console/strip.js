// Draw a job's last runs as bars: height says how long, colour and the mark beneath say how it went.

import { h, svg } from "./dom.js"
import { ago, duration, kind, live, mark, time } from "./words.js"

const HEIGHT = 34
const STEP = 15
const MOST = 20

// The whole strip is one stop of the Tab key; the arrow keys go from bar to bar.
export function strip(job, runs) {
  if (!runs.length) return h("p", { class: "hint" }, "No runs yet.")
  const shown = runs.slice(0, MOST).reverse()
  const longest = Math.max(...shown.map((run) => run.duration_s || 0), 0.001)
  const bars = shown.map((run, at) => bar(run, MOST - shown.length + at, Math.max(3, (HEIGHT * (run.duration_s || 0)) / longest)))
  bars.at(-1).setAttribute("tabindex", "0")
  return svg("svg", { class: "strip", width: MOST * STEP, height: HEIGHT + 16, role: "group", onkeydown: moved,
    "aria-label": `The last ${shown.length} runs of ${job}, the latest at the right` },
    svg("line", { class: "grid", x1: 0, x2: MOST * STEP, y1: HEIGHT + 1.5, y2: HEIGHT + 1.5 }), bars)
}

function bar(run, at, height) {
  const x = at * STEP
  const width = run.dry_run ? 4 : 9
  return svg("a", { href: `#/runs/${encodeURIComponent(run.run_id)}`, tabindex: "-1", class: `bar ${kind(run.status)}`,
    "data-focus": run.run_id, "aria-label": told(run) },
    svg("title", {}, told(run)),
    svg("rect", { class: "reach", x, y: 0, width: STEP, height: HEIGHT + 16 }),
    svg("rect", { class: "column", x: x + (STEP - width) / 2, y: HEIGHT - height + 1, width, height, rx: 1 }),
    svg("text", { x: x + STEP / 2, y: HEIGHT + 13, "text-anchor": "middle" }, mark(run.status)))
}

function told(run) {
  const took = live(run) ? `for ${duration(run.duration_s)} so far` : run.duration_s == null ? "" : `took ${duration(run.duration_s)}`
  return [`${run.status}${run.dry_run ? " (dry run)" : ""}`, took, `${ago(run.created_at)}, ${time(run.created_at)}`].filter(Boolean).join(" · ")
}

function moved(event) {
  const bars = [...event.currentTarget.querySelectorAll(".bar")]
  const at = bars.indexOf(document.activeElement)
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1 }[event.key]
  if (to === undefined || at < 0) return
  event.preventDefault()
  const next = bars[Math.min(Math.max(to, 0), bars.length - 1)]
  bars.forEach((each) => each.setAttribute("tabindex", each === next ? "0" : "-1"))
  next.focus()
}
