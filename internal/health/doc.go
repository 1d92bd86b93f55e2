// Package health says whether a service works, or stands by, at this moment. What it knows is a small value, Facts, and the
// judgement is a pure function of it and the time. The facts are noted where they happen: by the service, by its main
// loops (Loops), and by a Watch, which looks at what the process stands on. The package repairs nothing; who wants
// to begin again when something has gone asks the Watch.
package health
