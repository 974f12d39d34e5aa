// Ask the API: the bearer token lives in this module's memory, and nowhere else.

import { decode, encode } from "./json.js"

const BASE = new URL("../admin/", document.baseURI)
let token = ""
let rights = null

export class Problem extends Error {
  constructor(status, document = {}) {
    super(document.detail || `the server answered ${status}`)
    this.status = status
    this.errors = (document.errors || []).map((error) => error.detail)
    this.run = document.run
  }
}

// The server, or its run store, does not answer now: worth asking again.
export class Away extends Problem {}

export function remember(text) {
  token = text
  rights = null
}

// What the token may do, by the server's word: what it may not is not offered, and refused if it is asked for all the same.
export const allow = (names) => { rights = names }
export const readsAll = () => rights === null || rights.includes("read")
export const may = (action, job) => rights === null || rights.includes(`${action}:${job}`) || rights.includes(`${action}:*`)

export async function get(path, query = {}, signal = undefined) {
  const url = new URL(path, BASE)
  for (const [name, value] of Object.entries(query)) if (value != null && value !== "") url.searchParams.set(name, value)
  return (await call("GET", url, undefined, signal)).body
}

export async function post(path, body = {}) {
  return (await call("POST", new URL(path, BASE), encode(body))).body
}

async function call(method, url, body, signal) {
  const headers = { Authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) }
  let response, text
  try {
    response = await fetch(url, { method, headers, body, signal, cache: "no-store", credentials: "omit", redirect: "error" })
    text = await response.text()
  } catch (error) {
    if (error.name === "AbortError") throw error
    throw new Away(0, { detail: "the server does not answer" })
  }
  if (response.ok) return { status: response.status, body: decode(text) }
  throw refusal(response, text)
}

function refusal(response, text) {
  const said = (response.headers.get("Content-Type") || "").startsWith("application/problem+json") ? decode(text) : undefined
  const away = response.status === 503 || (response.status >= 500 && !said)
  const problem = new (away ? Away : Problem)(response.status, said)
  if (response.status === 401) dispatchEvent(new CustomEvent("unauthorised", { detail: problem.message }))
  return problem
}

export const run = (id) => `runs/${encodeURIComponent(id).replaceAll("%3A", ":")}`
