// Say what happened: a line for all to see, and one for screen readers alone.

const byId = (id) => document.getElementById(id)

export function notice(text) {
  const line = byId("notice")
  if (line.textContent !== text) line.textContent = text
  line.hidden = !text
}

export function announce(text) {
  if (byId("said").textContent !== text) byId("said").textContent = text
}
