// Remember what was seen of live runs, for their rates over time.

import { finished } from "./words.js"

const MOST = 400
const WINDOW_S = 10
const seen = new Map()

export function sample(run) {
  const samples = seen.get(run.run_id) ?? []
  const tally = run.live?.tally ?? run.tally
  const last = samples.at(-1)
  const next = { at: Date.now() / 1000, finished: finished(tally), failed: tally?.failed || 0, told: run.live?.rate }
  if (last && next.finished < last.finished) samples.length = 0 // a replay counts anew
  samples.push(next)
  if (samples.length > MOST) samples.splice(0, samples.length, ...samples.filter((_, at) => at % 2 === 0))
  seen.set(run.run_id, samples)
}

// Over a few seconds: counts come with each page commit, not evenly.
function since(samples, at, field) {
  const to = samples[at]
  let from = at
  while (from > 0 && to.at - samples[from].at < WINDOW_S) from -= 1
  return from === at ? null : (to[field] - samples[from][field]) / (to.at - samples[from].at)
}

export function rateOf(run_id) {
  const samples = seen.get(run_id) ?? []
  return samples.length > 1 ? since(samples, samples.length - 1, "finished") : null
}

// The server's points in the form of ours.
export function told(points) {
  return points.slice(1).map((each, at) => ({
    at: each.at, rate: each.rate, errors: Math.max(0, each.failed - points[at].failed) / Math.max(each.at - points[at].at, 0.001),
  }))
}

export function series(run_id) {
  const samples = seen.get(run_id) ?? []
  return samples.slice(1).map((each, at) => ({
    at: each.at, rate: each.told ?? since(samples, at + 1, "finished"), errors: since(samples, at + 1, "failed"),
  }))
}
