package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/report"
)

func (a *app) doctorCommand() *cobra.Command {
	var format string
	var accounts []string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "try whether every account can be read, and say what is lacking and who can grant it",
		Long: `Try, in every account of the configuration, everything that an audit needs: entering it, whether
the key is one of this account, and each permission to read, by sending the request that needs it.
Say how far the clock is off, how much of a run's time the rate takes, and whether the account has
the agency at all; and for each fault what to do about it, and who can.

The doctor changes nothing, however repair is configured: permissions to write are not
probed. What an account is like, against the baseline, is what audit says.

Exit codes: 0 an audit would read everything, 2 it would not, 3 the command line or the
configuration is wrong, and nothing was asked.`,
		Example: `  agencyaudit doctor
  agencyaudit doctor --account prod-eu --account prod-us
  agencyaudit doctor -o json`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			var found *auditor.Diagnosis
			if err := a.withDaemon(cmd.Context(), cfg, func(d *daemon.Daemon) (err error) {
				found, err = d.Doctor(cmd.Context(), accounts)
				return err
			}); err != nil {
				return err
			}
			o := a.layout()
			o.Verbose = verbose
			out := result{to: a.out}
			if err := out.write(func(w io.Writer) error {
				if format == "json" {
					return report.DoctorJSON(w, found)
				}
				return report.Doctor(w, found, o)
			}); err != nil {
				return err
			}
			if !found.Well() {
				return &failure{code: exitPartial}
			}
			return nil
		},
	}
	outputFlag(cmd, &format, "table", "json")
	f := cmd.Flags()
	f.StringArrayVar(&accounts, "account", nil, "probe only this account, by `name` or id; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("account", a.accountNames)
	f.BoolVar(&verbose, "verbose", false, "also list accounts in which everything works, and name all accounts")
	return cmd
}
