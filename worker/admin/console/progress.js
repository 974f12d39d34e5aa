// Show how far a live run is: its bar, rate and time left; where the server does not know, from what was seen.

import { h } from "./dom.js"
import { rateOf } from "./samples.js"
import { count, duration, finished, rate } from "./words.js"

export function reach(run) {
  const told = run.live || {}
  const per = told.rate ?? rateOf(run.run_id)
  const tally = told.tally ?? run.tally
  const worked = finished(tally)
  const total = told.total ?? null
  const eta = told.eta_s ?? (total !== null && per > 0 ? Math.max(0, total - worked) / per : null)
  return { worked, total, per, eta, limited: told.limited_by || "", inFlight: told.in_flight }
}

export function progress(run) {
  const { worked, total, per, eta } = reach(run)
  const share = total ? Math.min(1, worked / total) : null
  const here = run.attempt > 1 && run.live ? " in this attempt" : ""
  const words = [(total ? `${count(worked)} of ${count(total)}` : `${count(worked)} records`) + here, per != null && rate(per),
    eta != null && `${duration(eta)} left`].filter(Boolean).join(" · ")
  return h("div", { class: "progress" },
    h("progress", { max: 1, value: share, "aria-label": `Progress of ${run.run_id}` }),
    h("span", { class: "number" }, words))
}

// The run's counts, as fresh as they are known: what its process says is of this attempt alone.
export const tallyOf = (run) => (run.attempt <= 1 && run.live?.tally) || run.tally || {}

// What a screen reader is told: each tenth once, not each number.
export function milestone(run) {
  const { worked, total } = reach(run)
  const tenth = total ? ` ${Math.floor((10 * worked) / total) * 10} %` : ""
  return `${run.run_id} is ${run.status}${run.status === "running" ? tenth : ""}`
}
