/** Something about a network that whoever runs it can mend; the message says how. */
export class NetworkProblem extends Error {
  override readonly name = "NetworkProblem";
}
