package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// simulationFlags are the flags of the command simcloud.
type simulationFlags struct {
	organization    string
	generate        int
	seed            uint64
	steady          bool
	listen, control string
	tls             bool
	caOut           string
	configOut       string
	members         string
	repair          string
}

func (a *app) simcloudCommand() *cobra.Command {
	var o simulationFlags
	cmd := &cobra.Command{
		Use:   "simcloud",
		Short: "run the simulated cloud alone, for drills and for other clients",
		Long: `Serve a simulated Huawei Cloud (IAM v3 and v5, STS, Organizations, enterprise projects) until a
signal ends it. It verifies signatures and permissions like the real one. Its state comes from a
file, from a seed, or is the organization that the program brings along; on the control port it can
be changed, broken in many ways and watched while it runs, as docs/simcloud.md shows.

Everything in it is made up. It has no use for real keys: never point it, or a client of it, at
anything real.

--config-out replaces no file: one that holds anything else stays as it is, and nothing is served.

Exit codes: 0 ended by a signal, 2 a port could not be opened or a file not be written, 3 bad
usage or organization file, or --config-out names a file that is there already.`,
		Example: `  agencyaudit simcloud --config-out sim.yaml
  agencyaudit simcloud --generate 1000 --seed 7 --config-out sim.yaml
  agencyaudit simcloud --generate 1000 --members sts --config-out sim.yaml
  agencyaudit simcloud --generate 20 --steady --repair approve --config-out sim.yaml
  agencyaudit simcloud --organization our-org.yaml --tls --ca-out sim-ca.pem --config-out sim.yaml
  curl -s 127.0.0.1:9880/counters
  curl -s -X PUT -H 'Content-Type: application/json' \
    127.0.0.1:9880/settings \
    -d '{"failures": [{"style": "status_429", "every": 3}]}'`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch generates := cmd.Flags().Changed("generate"); {
			case generates && o.generate < 1:
				return misuse("name at least one account", "--generate %d makes no organization", o.generate)
			case !generates && cmd.Flags().Changed("seed"):
				return misuse("add --generate N", "--seed is for generated organizations")
			}
			return a.serveSimulation(cmd, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.organization, "organization", "", "take the organization from this `file` instead of the bundled one")
	f.IntVar(&o.generate, "generate", 0, "make an organization of this `number` of accounts")
	f.Uint64Var(&o.seed, "seed", 1, "`seed` of --generate")
	f.BoolVar(&o.steady, "steady", false, "with --generate: every account is exactly as COC's baseline asks")
	f.StringVar(&o.listen, "listen", defaultCloudAddress, "`address` of the cloud; port 0 takes a free one")
	f.StringVar(&o.control, "control", defaultControlAddress, "`address` of the control port, on loopback; empty for none")
	f.BoolVar(&o.tls, "tls", false, "serve https with a certificate made for this start")
	f.StringVar(&o.caOut, "ca-out", "", "with --tls: write the certificate that clients must trust to this `file`")
	f.StringVar(&o.configOut, "config-out", "", "write a configuration that audits the organization to this new `file`")
	f.StringVar(&o.members, "members", "",
		"with --config-out: have the organization list the accounts, and enter each by this `way`: "+byIAM+" and "+bySTS+
			" assume an agency of IAM v3 by that service, "+byTrust+" assumes a trust agency of IAM v5 by STS, with its external id if it asks for one")
	complete(cmd, "members", waysIn()...)
	f.StringVar(&o.repair, "repair", "",
		"with --config-out: configure repair in this `mode`: plan, approve or auto. Every account but the key's own gets the two agencies by "+
			"which it is repaired, and the key's account a user with a key for that")
	complete(cmd, "repair", repairModes()...)
	cmd.MarkFlagsMutuallyExclusive("organization", "generate")
	return cmd
}

// source loads the organization that the flags name, and says in words where it is from.
func (o simulationFlags) source() (*simcloud.Organization, string, error) {
	switch {
	case o.steady && o.generate <= 0:
		return nil, "", misuse("add --generate N", "--steady is for generated organizations")
	case o.caOut != "" && !o.tls:
		return nil, "", misuse("add --tls", "--ca-out has a certificate only with --tls")
	case o.tls && o.configOut != "" && o.caOut == "":
		return nil, "", misuse("add --ca-out FILE", "--config-out with --tls needs the certificate in a file")
	case o.members != "" && !slices.Contains(waysIn(), o.members):
		return nil, "", misuse("write one of "+strings.Join(waysIn(), ", "), "--members %q is no way into an account", o.members)
	case o.repair != "" && !slices.Contains(repairModes(), o.repair):
		return nil, "", misuse("write one of "+strings.Join(repairModes(), ", "), "--repair %q is no mode", o.repair)
	case o.repair != "" && o.configOut == "":
		return nil, "", misuse("add --config-out FILE", "--repair is about the configuration that --config-out writes")
	case o.members != "" && o.configOut == "":
		return nil, "", misuse("add --config-out FILE", "--members is about the configuration that --config-out writes")
	case o.organization != "":
		data, err := readInput(o.organization)
		if err != nil {
			return nil, "", misuse("name a file with an organization",
				"the organization %s cannot be read: %w", o.organization, reason(err))
		}
		org, err := simcloud.LoadOrganization(o.organization, data)
		if err != nil {
			return nil, "", &failure{code: exitUsage, err: err, faults: true}
		}
		return org, o.organization, nil
	case o.steady:
		return simcloud.GenerateSteady(o.seed, o.generate), fmt.Sprintf("generated, steady, seed %d", o.seed), nil
	case o.generate > 0:
		return simcloud.Generate(o.seed, o.generate), fmt.Sprintf("generated, seed %d", o.seed), nil
	}
	return simcloud.Bundled(), "the bundled organization", nil
}

func (a *app) serveSimulation(cmd *cobra.Command, o simulationFlags) (err error) {
	org, from, err := o.source()
	if err != nil {
		return err
	}
	if o.repair != "" {
		if err := makeRepairable(org); err != nil {
			return misuse("give a user of the organization a key", "there is no way to repair the organization: %w", err)
		}
	}
	cloud, err := simcloud.New(org)
	if err != nil {
		return &failure{code: exitUsage, err: err, faults: true}
	}
	cloud.Log = a.log
	org = cloud.Organization() // with every id filled in
	server, err := cloud.Start(simcloud.Listen{Cloud: o.listen, Control: o.control, SelfSigned: o.tls})
	if err != nil {
		return &failure{
			code: exitPartial, err: err, hint: "choose other ports with --listen and --control",
		}
	}
	defer func() {
		if closed := server.Close(); closed != nil {
			err = errors.Join(err, &failure{code: exitPartial, err: fmt.Errorf("stop the simulated cloud: %w", closed)})
		}
	}()
	if err := a.writeSimulationFiles(o, org, server); err != nil {
		return err
	}
	if _, err := fmt.Fprint(a.out, greeting(o, org, from, server)); err != nil {
		return delivered(err)
	}
	<-cmd.Context().Done()
	a.log.Info("simulated cloud ended", "requests", requests(cloud.Counters()), "writes", len(cloud.Journal()))
	return nil
}

// writeSimulationFiles writes what clients need: the certificate and a configuration.
func (a *app) writeSimulationFiles(o simulationFlags, org *simcloud.Organization, server *simcloud.Server) error {
	config, err := o.configuration(org, server)
	if err != nil {
		return err
	}
	there := false
	if o.configOut != "" {
		if there, err = wroteBefore(o.configOut, config); err != nil {
			return err
		}
	}
	if o.caOut != "" {
		if err := writeAside(o.caOut, server.CAPEM); err != nil {
			return err
		}
	}
	if o.configOut == "" || there {
		return nil
	}
	return writeAside(o.configOut, config)
}

// writeAside writes a file, or replaces it.
func writeAside(file string, data []byte) error {
	f, err := createAside(file, newFileMode)
	if err == nil {
		if _, err = f.Write(data); err == nil {
			err = f.commit()
		} else {
			f.discard()
		}
	}
	if err != nil {
		return &failure{code: exitPartial, err: fmt.Errorf("write %s: %w", file, reason(err))}
	}
	return nil
}

// wroteBefore says whether the configuration is in its file already, as an earlier start left it. A file with anything else in it is not
// replaced, as that of a result is: people write their own configuration, or add to this one, and nothing could bring that back.
func wroteBefore(file string, config []byte) (bool, error) {
	if info, _ := os.Stat(file); info == nil || !info.Mode().IsRegular() {
		return false, nil // whether it can be written is seen when it is
	}
	if is, err := readInput(file); err == nil && bytes.Equal(is, config) {
		return true, nil
	}
	return false, misuse("name a new file, or delete this one if nothing in it is needed",
		"the configuration is not written to %s: that file is there already, and is not what would be written", file)
}

// configuration is one that audits the organization; nil when none is wanted.
func (o simulationFlags) configuration(org *simcloud.Organization, server *simcloud.Server) ([]byte, error) {
	if o.configOut == "" {
		return nil, nil
	}
	caFile := o.caOut
	if caFile != "" {
		// The configuration looks for files in its own folder, this command in the working one.
		absolute, err := filepath.Abs(caFile)
		if err != nil {
			return nil, &failure{code: exitPartial, err: fmt.Errorf("find the folder of %s: %w", caFile, err)}
		}
		caFile = absolute
	}
	id, err := identityOf(org)
	if err != nil {
		return nil, misuse("give a user of the organization a key", "there is no way to audit the organization: %w", err)
	}
	config := configFor(org, id, server.URL, caFile)
	switch {
	case o.members != "":
		if config, err = membersConfigFor(org, id, server.URL, caFile, o.members); err != nil {
			return nil, misuse("leave --members out", "there is no way to audit all members: %w", err)
		}
	case o.organization == "" && o.generate == 0:
		if config, err = bundledConfigAt(server.URL, caFile); err != nil {
			return nil, err
		}
	}
	if o.repair != "" {
		config = append(config, repairConfig(id, o.repair)...)
	}
	return config, nil
}

// greeting says where the simulated cloud is and how to audit it.
func greeting(o simulationFlags, org *simcloud.Organization, from string, server *simcloud.Server) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Simulated cloud of %s. Everything in it is made up.\n", described(org, rules.Escape(from)))
	fmt.Fprintf(&b, "  cloud    %s\n", server.URL)
	if server.ControlURL != "" {
		fmt.Fprintf(&b, "  control  %s\n", server.ControlURL)
	}
	if o.caOut != "" {
		fmt.Fprintf(&b, "  trust    %s\n", rules.Escape(o.caOut))
	}
	id, err := identityOf(org)
	if err != nil {
		return b.String() + "No user of the organization has a key, so it cannot be audited.\n"
	}
	config := o.configOut
	if config == "" {
		b.WriteString("To audit it, start with --config-out FILE, which writes a configuration for it, and then, elsewhere:\n")
		config = "FILE"
	} else {
		b.WriteString("To audit it, elsewhere:\n")
		config = shellWord(config)
	}
	fmt.Fprintf(&b, "  export %s=%s\n", accessKeyVariable, shellWord(id.key.Access))
	fmt.Fprintf(&b, "  export %s=%s\n", secretKeyVariable, shellWord(id.key.Secret))
	if o.repair != "" {
		fmt.Fprintf(&b, "  export %s=%s\n", repairAccessVariable, repairKey.Access)
		fmt.Fprintf(&b, "  export %s=%s\n", repairSecretVariable, repairKey.Secret)
	}
	fmt.Fprintf(&b, "  agencyaudit audit --config %s\n", config)
	if o.repair != "" {
		fmt.Fprintf(&b, "  agencyaudit plan --config %s\n", config)
	}
	b.WriteString("Ctrl-C ends it.\n")
	return b.String()
}
