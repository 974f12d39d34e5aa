// Say counts, times and verdicts as the terminal and Slack do.

const KINDS = {
  "succeeded": "good", "already done": "good",
  "aborted": "bad", "crashed": "bad", "completed with failures": "bad", "could not start": "bad",
  "interrupted": "paused",
  "running": "live", "pending": "live",
}
const MARKS = { good: "✓", bad: "✕", paused: "‖", live: "▸", quiet: "–" }

export const kind = (status) => KINDS[status] || "quiet"
export const mark = (status) => MARKS[kind(status)]
export const live = (run) => kind(run.status) === "live"

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 })
const small = new Intl.NumberFormat("en", { maximumFractionDigits: 1 })

export const count = (value) => whole.format(value ?? 0)
export const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`
export const rate = (value) => `${(Math.abs(value) < 10 ? small : whole).format(value)}/s`

export function duration(seconds) {
  if (seconds == null) return ""
  if (seconds < 10) return `${small.format(seconds)} s`
  const s = Math.round(seconds)
  if (s < 60) return `${s} s`
  const [m, hours] = [Math.floor(s / 60), Math.floor(s / 3600)]
  if (s < 3600) return `${m} m ${two(s % 60)} s`
  return hours < 48 ? `${hours} h ${two(m % 60)} m` : `${Math.floor(hours / 24)} d ${two(hours % 24)} h`
}

const two = (value) => String(value).padStart(2, "0")

export function time(text) {
  if (!text) return ""
  const at = new Date(text)
  const day = at.toDateString() === new Date().toDateString() ? "" : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `
  return `${day}${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

export function ago(text) {
  if (!text) return ""
  const seconds = (Date.now() - new Date(text)) / 1000
  return seconds < 0 ? `in ${about(-seconds)}` : seconds < 5 ? "just now" : `${about(seconds)} ago`
}

function about(seconds) {
  const [size, unit] = seconds < 60 ? [1, "s"] : seconds < 5400 ? [60, "min"] : seconds < 172800 ? [3600, "h"] : [86400, "d"]
  return `${Math.round(seconds / size)} ${unit}`
}

export const text = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value, (_, v) => (typeof v === "bigint" ? String(v) : v)) : String(value))

export function scope(fields) {
  return Object.entries(fields || {}).map(([name, value]) => `${name}=${text(value)}`).join("  ") || "all"
}

export const short = (words, most) => (words.length > most ? `${words.slice(0, most)}…` : words)

export const skips = (tally) => Object.values(tally?.skipped || {}).reduce((sum, each) => sum + each, 0)
export const finished = (tally) => (tally?.done || 0) + (tally?.failed || 0) + skips(tally)

export function counts(tally) {
  const told = [[tally?.done, "done"], [skips(tally), "skipped"], [tally?.failed, "failed"]]
  return told.filter(([value]) => value).map(([value, word]) => `${count(value)} ${word}`).join(" · ") || "no records"
}
