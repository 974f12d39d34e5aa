// Read and write JSON without losing a digit: whole numbers that JavaScript would round are kept as BigInt.

export function decode(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
      ? BigInt(context.source) : value)
}

export function encode(value) {
  if (typeof value === "bigint") return String(value)
  if (Array.isArray(value)) return `[${value.map(encode)}]`
  if (value === null || typeof value !== "object") return JSON.stringify(value)
  const fields = Object.entries(value).filter(([, field]) => field !== undefined)
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${encode(field)}`)}}`
}
