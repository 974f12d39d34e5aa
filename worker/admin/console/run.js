// One run: how it stands, what can be done, its rates over time, attempts, shards, errors, dead letters, its summary.

import { get, run as runPath } from "./api.js"
import { actions } from "./actions.js"
import { chart } from "./chart.js"
import { facts, h, redraw, table } from "./dom.js"
import { letters } from "./letters.js"
import { poll } from "./poll.js"
import { problem } from "./problem.js"
import { milestone, progress, reach, tallyOf } from "./progress.js"
import { sample, series, told } from "./samples.js"
import { announce } from "./say.js"
import { slack } from "./slack.js"
import { count, counts, duration, finished, kind, live, mark, rate, scope, short, skips, text, time } from "./words.js"

const PARTS = ["head", "doing", "going", "figures", "plot", "attempts", "shards", "errors", "dead", "summary", "more"]
const ATTEMPTS = [["Attempt"], ["Ended as"], ["Began"], ["Took", "right"], ["Records"], ["Where"]]
const SHARDS = [["Shard"], ["Status"], ["Attempts", "right"], ["Took", "right"], ["Records"]]
const ERRORS = [["Records"], ["Type"], ["Message"], ["For example"]]

export function runPage(main, { name }, signal) {
  const parts = Object.fromEntries(PARTS.map((part) => [part, h("section", { class: part })]))
  parts.head.append(h("h1", {}, name), h("p", { class: "hint" }, "Loading…"))
  main.replaceChildren(...Object.values(parts))
  const job = name.split(":")[0]
  let known = null
  get("jobs", {}, signal).then(({ jobs }) => {
    known = jobs.find((each) => each.name === job)
    ask()
  }, () => {})
  const dead = letters(parts.dead, signal)

  function show(run) {
    if (live(run)) sample(run)
    announce(milestone(run))
    redraw(parts.head, [run.status, run.detail, run.faults, run.scope, run.dry_run, run.attempt], () => head(run))
    redraw(parts.doing, [run.status, run.tally?.failed, run.dry_run, known?.max_affected], () => actions(run, known, ask))
    redraw(parts.going, live(run) ? [run.live, run.tally, Date.now()] : null, () => (live(run) ? progress(run) : null))
    redraw(parts.figures, [run.tally, run.live, run.duration_s, run.cursor], () => figures(run))
    redraw(parts.plot, [live(run) ? Date.now() : run.attempts, run.series, parts.plot.clientWidth], () => plot(run, parts.plot.clientWidth))
    redraw(parts.attempts, [run.attempts, live(run)], () => run.attempts?.length && titled("Attempts", table("Attempts", ATTEMPTS, run.attempts.map((each) => attempt(each, live(run))))))
    redraw(parts.shards, [run.parts, run.shards], () => run.parts?.length
      && titled(`Shards: ${run.parts.length} of ${run.shards} have begun`, table("Shards", SHARDS, run.parts.map(shard))))
    redraw(parts.errors, [run.errors, live(run)], () => run.errors?.length
      && titled("Errors by group", table("Errors by group", ERRORS, run.errors.map((each) => group(each, live(run))))))
    dead.show(run, () => known, ask)
    redraw(parts.summary, run.slack ?? [], () => run.slack?.length && titled("Summary, as Slack shows it", slack(run.slack)))
    redraw(parts.more, [run.cursor, run.source, run.exit_code, run.created_at, run.ended_at], () => more(run))
  }

  const failed = (error) => main.replaceChildren(h("h1", {}, name), problem(error))
  const ask = poll((signal) => get(runPath(name), {}, signal), show, failed, signal, 6)
}

const titled = (title, ...rest) => [h("h2", {}, title), ...rest]

function head(run) {
  const key = run.run_id.slice(run.job.length)
  return [
    h("p", { class: "crumb" }, h("a", { href: `#/runs?job=${encodeURIComponent(run.job)}`, "data-focus": "job" }, `Runs of ${run.job}`)),
    h("h1", {}, run.job, h("wbr"), h("span", { class: "key" }, key)),
    h("p", { class: "verdict" }, h("span", { class: `status ${kind(run.status)}` }, `${mark(run.status)} ${run.status}`),
      run.dry_run && h("span", { class: "tag" }, "dry run"), h("code", { class: "tag" }, short(scope(run.scope), 1000))),
    run.detail ? h("p", { class: "detail" }, run.detail) : null,
    run.faults?.length ? h("ul", { class: "fault" }, run.faults.map((fault) => h("li", {}, fault))) : null,
  ]
}

function figures(run) {
  const tally = tallyOf(run)
  const { per, eta, limited, inFlight } = reach(run)
  const going = live(run) ? [["Rate", per != null && rate(per)], ["Left", eta != null && duration(eta)], ["In flight", inFlight != null && count(inFlight)],
    ["Limited by", limited]] : []
  const told = [["Read", count(tally.read)], ["Done", count(tally.done)], ["Skipped", count(skips(tally))], ["Failed", count(tally.failed)],
    tally.retries && ["Retries", count(tally.retries)], ["Took", duration(run.duration_s)], ...going]
  return facts(told.filter((each) => each && each[1]))
}

// What its process has told the server; of a run elsewhere what this page has seen; else the mean rate of each attempt.
function plot(run, width) {
  const seen = run.series?.length > 2 ? told(run.series) : series(run.run_id)
  const points = seen.length > 1 ? seen : means(run)
  if (points.length < 2) return live(run) ? h("p", { class: "hint" }, "Rates over time are drawn from here on, while you look.") : null
  const title = seen.length > 1 ? "Rates over time" : "Rates over time, the mean of each attempt"
  return titled(title, chart(points, run.limit, Math.max(280, width)))
}

function means(run) {
  return (run.attempts || []).filter((each) => each.ended_at).flatMap((each) => {
    const [from, to] = [each.started_at, each.ended_at].map((at) => new Date(at) / 1000)
    const took = Math.max(to - from, 0.001)
    const mean = { rate: finished(each.tally) / took, errors: (each.tally?.failed || 0) / took }
    return [{ at: from, ...mean }, { at: to, ...mean }, { at: to, rate: null, errors: null }]
  }).slice(0, -1)
}

// One without a verdict works, or was killed and cannot say so: then its run does not go on.
function attempt(each, going) {
  const took = each.ended_at ? (new Date(each.ended_at) - new Date(each.started_at)) / 1000 : null
  const [status, words] = each.verdict ? [each.verdict, each.verdict] : going ? ["running", "working"] : ["interrupted", "killed"]
  return [
    `${each.number}${each.replay == null ? "" : " (replay)"}`,
    [h("span", { class: `status ${kind(status)}` }, `${mark(status)} ${words}`), each.detail && ` ${each.detail}`],
    time(each.started_at), duration(took), counts(each.tally), h("code", {}, (each.task_arn || each.host || "").split("/").at(-1)),
  ]
}

function shard(part) {
  return [part.run_id.split("/").at(-1), [h("span", { class: `status ${kind(part.status)}` }, `${mark(part.status)} ${part.status}`), part.detail && ` ${part.detail}`],
    count(part.attempt), duration(part.duration_s), counts(part.tally)]
}

// A live run says how many there are at 1, 10, 100 …
const group = (each, going) => [`${going ? "≥ " : ""}${count(each.count)}`, each.type, h("span", { class: "message" }, each.message), h("code", {}, text(each.sample_key))]

function more(run) {
  return titled("More", facts([
    ["Begun", time(run.created_at)], ["Ended", time(run.ended_at)], ["Exit code", run.exit_code == null ? "" : String(run.exit_code)],
    ["Cursor", run.cursor && h("code", {}, text(run.cursor))], ["By", run.source && h("code", {}, run.source)],
    ["Skipped", Object.entries(run.tally?.skipped || {}).map(([why, times]) => `${why} ${count(times)}`).join(" · ")],
  ]))
}
