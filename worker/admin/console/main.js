// Start: ask for the token, then show the page that the address names.

import { remember } from "./api.js"
import { jobsPage } from "./jobs.js"
import { runPage } from "./run.js"
import { runsPage } from "./runs.js"
import { announce, notice } from "./say.js"
import { startPage } from "./start.js"
import { tokenPage } from "./token.js"

const PAGES = [
  [/^\/$/, jobsPage, "Jobs"],
  [/^\/runs$/, runsPage, "Runs"],
  [/^\/runs\/(.+)$/, runPage, "Run"],
  [/^\/start\/(.+)$/, startPage, "Start"],
]

const main = document.getElementById("main")
let leaving = new AbortController()
let inside = false

function show() {
  leaving.abort()
  leaving = new AbortController()
  notice("")
  const [path, query] = (location.hash.slice(1) || "/").split("?")
  const found = PAGES.map(([pattern, page, title]) => [pattern.exec(path), page, title]).find(([match]) => match)
  if (!found) return location.replace("#/")
  const [match, page, title] = found
  frame(path)
  const name = match[1] === undefined ? undefined : decoded(match[1])
  document.title = `${name ?? title} · Batch jobs`
  main.replaceChildren()
  page(main, { name, query: new URLSearchParams(query) }, leaving.signal)
}

// An address that somebody has cut short is looked up as it is.
function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function frame(path) {
  document.getElementById("nav").hidden = !inside
  document.getElementById("forget").hidden = !inside
  for (const link of document.querySelectorAll("#nav a")) {
    const here = link.hash === `#${path}`
    if (here) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  }
}

function ask(why = "") {
  leaving.abort()
  inside = false
  remember("")
  document.getElementById("who").textContent = ""
  document.title = "Batch jobs"
  frame("")
  tokenPage(main, why, enter)
}

function enter(name) {
  inside = true
  document.getElementById("who").textContent = name
  show()
}

function moved() {
  if (!inside) return
  show()
  main.focus({ preventScroll: true })
  scrollTo(0, 0)
  announce(document.title)
}

addEventListener("hashchange", moved)
addEventListener("unauthorised", (event) => inside && ask(event.detail))
document.getElementById("forget").addEventListener("click", () => ask())
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault()
  main.focus()
})
ask()
