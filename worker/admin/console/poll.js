// Ask again every two seconds while somebody looks; oftener after something was done, less often while the server is away.

import { Away } from "./api.js"
import { notice } from "./say.js"

const EVERY_MS = 2000
const LONGEST_MS = 15000
const SOON_MS = 400
const SOON = 8

// Gives a function that asks at once, for after an action. `failed` gets what asking again would not mend.
export function poll(ask, show, failed, signal, soon = 0) {
  let wake = () => {}
  const pause = (ms) => new Promise((resolve) => { wake = resolve; setTimeout(resolve, ms) })
  addEventListener("online", () => wake(), { signal })

  async function go() {
    let ms = EVERY_MS
    while (!signal.aborted) {
      try {
        const found = await ask(signal)
        if (signal.aborted) return
        notice("")
        ms = EVERY_MS
        if (show(found) === false) return
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof Away)) return failed(error)
        notice(`${capital(error.message)}. Trying again; what is shown may be old.`)
        ms = Math.min(2 * ms, LONGEST_MS)
      }
      await pause(soon-- > 0 && ms === EVERY_MS ? SOON_MS : ms)
      await seen(signal)
    }
  }

  go()
  return () => {
    soon = SOON
    wake()
  }
}

function seen(signal) {
  if (!document.hidden) return Promise.resolve()
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true, signal }))
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1)
