package simcloud

// kindWord returns what an abbreviation in vendorService.kinds stands for, and anything else as it is.
func kindWord(k string) string {
	switch k {
	case "F":
		return "FullAccess"
	case "R":
		return "ReadOnlyAccess"
	case "C":
		return "CommonOperations"
	case "U":
		return "UserAccess"
	case "A":
		return "Administrator"
	case "O":
		return "OperateAccess"
	case "M":
		return "ManageAccess"
	case "D":
		return "DeveloperAccess"
	}
	return k
}

// vendorService is one cloud service and the kinds of its system-defined policies, each of which is a display name's
// second part or stands for it as kindWord says. Most of the services are Huawei Cloud's; which of them has which kinds
// is plausible rather than known.
type vendorService struct{ name, prefix, scope, kinds string }

var vendorServices = [...]vendorService{
	// Identity, organization, money.
	{"IAM", "iam", typeGlobal, "F R"},
	{"Organizations", "organizations", typeGlobal, "F R O"},
	{"IdentityCenter", "identitycenter", typeGlobal, "F R"},
	{"RAM", "ram", typeGlobal, "F R ResourceShareParticipantAccess"},
	{"RGC", "rgc", typeGlobal, "F R"},
	{"EPS", "eps", typeGlobal, "F R A"},
	{"TMS", "tms", typeGlobal, "F R A"},
	{"BSS", "bss", typeGlobal, "F R O A FinanceAccess BillViewer"},
	{"Marketplace", "mkp", typeGlobal, "F R O"},
	{"Ticket", "support", typeGlobal, "F R A GroupOperator"},
	{"Domains", "domains", typeGlobal, "F R A"},
	{"ICP", "icp", typeGlobal, "F R"},
	// Operations.
	{"COC", "coc", typeGlobal, "F R O"},
	{"RMS", "rms", typeGlobal, "F R"},
	{"Config", "config", typeGlobal, "F R ConformancePackFullAccess"},
	{"RFS", "rf", typeProject, "F R D"},
	{"CES", "ces", typeProject, "F R C A AgentAccess"},
	{"CTS", "cts", typeProject, "F R C A"},
	{"LTS", "lts", typeProject, "F R C A"},
	{"AOM", "aom", typeProject, "F R C A"},
	{"APM", "apm", typeProject, "F R C A O"},
	{"SMN", "smn", typeProject, "F R C A U"},
	{"OA", "oa", typeGlobal, "F R"},
	{"CloudRES", "cloudres", typeGlobal, "F R"},
	{"RTS", "rts", typeProject, "F R C A"},
	{"MAS", "mas", typeProject, "F R C"},
	{"ServiceCatalog", "servicecatalog", typeGlobal, "F R U"},
	// Compute and containers.
	{"ECS", "ecs", typeProject, "F R C"},
	{"HECS", "hecs", typeProject, "F R C"},
	{"BMS", "bms", typeProject, "F R C A"},
	{"AutoScaling", "autoscaling", typeProject, "F R C A"},
	{"IMS", "ims", typeProject, "F R C A"},
	{"DeH", "deh", typeProject, "F R C U"},
	{"CPH", "cph", typeProject, "F R C"},
	{"FunctionGraph", "functiongraph", typeProject, "F R C A D"},
	{"CCE", "cce", typeProject, "F R C A ClusterRoleViewer"},
	{"CCI", "cci", typeProject, "F R C A"},
	{"UCS", "ucs", typeGlobal, "F R C DependencyAccess"},
	{"ASM", "asm", typeProject, "F R C"},
	{"SWR", "swr", typeProject, "F R O A"},
	{"BCS", "bcs", typeProject, "F R C A"},
	{"IEC", "iec", typeGlobal, "F R C"},
	{"IEF", "ief", typeProject, "F R C A"},
	{"CloudPond", "cloudpond", typeProject, "F R C"},
	{"EdgeCluster", "edgecluster", typeProject, "F R C"},
	{"SMS", "sms", typeGlobal, "F R A"},
	{"MgC", "mgc", typeProject, "F R D AppDiscoveryAccess MigrationAccess"},
	{"OMS", "oms", typeProject, "F R C A"},
	{"CodeArtsMigration", "codeartsmigration", typeProject, "F R C"},
	// Storage.
	{"EVS", "evs", typeProject, "F R C"},
	{"DSS", "dss", typeProject, "F R C"},
	{"OBS", "obs", typeGlobal, "R O A"},
	{"OBS Buckets", "obs", typeGlobal, "Viewer"},
	{"SFS", "sfs", typeProject, "F R C A"},
	{"SFS Turbo", "sfsturbo", typeProject, "F R C"},
	{"CBR", "cbr", typeProject, "F R U BackupsAndVaultsFullAccess"},
	{"CSBS", "csbs", typeProject, "F R C A"},
	{"VBS", "vbs", typeProject, "F R C A"},
	{"SDRS", "sdrs", typeProject, "F R C A"},
	{"DES", "des", typeProject, "F R C A"},
	// Network.
	{"VPC", "vpc", typeProject, "F R C A"},
	{"EIP", "eip", typeProject, "F R C"},
	{"ELB", "elb", typeProject, "F R C A"},
	{"NAT", "nat", typeProject, "F R C"},
	{"NAT Gateway", "nat", typeProject, "A"},
	{"DNS", "dns", typeProject, "F R C A"},
	{"VPN", "vpn", typeProject, "F R C A"},
	{"DCaaS", "dcaas", typeProject, "F R C A Partner"},
	{"VPCEndpoint", "vpcep", typeProject, "F R C A"},
	{"ER", "er", typeProject, "F R C"},
	{"CC", "cc", typeGlobal, "F R A NetworkDependQueryAccess"},
	{"GA", "ga", typeGlobal, "F R C"},
	{"ESW", "esw", typeProject, "F R C"},
	{"CDN", "cdn", typeGlobal, "F R A DomainConfiguration DomainReadOnlyAccess StatisticsReadOnlyAccess " +
		"LogsReadOnlyAccess RefreshAndPreheatAccess"},
	{"WSA", "wsa", typeGlobal, "F R C"},
	// Databases.
	{"RDS", "rds", typeProject, "F R M A"},
	{"DDS", "dds", typeProject, "F R M A"},
	{"GaussDB", "gaussdb", typeProject, "F R M A"},
	{"GaussDBforMySQL", "gaussdbformysql", typeProject, "F R M"},
	{"TaurusDB", "taurusdb", typeProject, "F R M"},
	{"GeminiDB", "nosql", typeProject, "F R M"},
	{"DDM", "ddm", typeProject, "F R C U"},
	{"DRS", "drs", typeProject, "F R C A DependencyAccess"},
	{"DAS", "das", typeProject, "F R C A"},
	{"UGO", "ugo", typeProject, "F R C D"},
	{"DCS", "dcs", typeProject, "F R U A"},
	{"LakeFormation", "lakeformation", typeProject, "F R C"},
	// Middleware.
	{"DMS", "dms", typeProject, "F R U A VPCAccess KMSAccess ELBAccess"},
	{"DMS Kafka", "dms", typeProject, "U"},
	{"APIG", "apig", typeProject, "F R C A"},
	{"ROMA", "roma", typeProject, "F R C A"},
	{"EventGrid", "eg", typeProject, "F R C PublishAccess"},
	{"ServiceStage", "servicestage", typeProject, "F R C A D O"},
	{"CSE", "cse", typeProject, "F R C A"},
	{"ROMAConnect", "romaconnect", typeProject, "F R O"},
	// Analytics.
	{"MRS", "mrs", typeProject, "F R C A"},
	{"DWS", "dws", typeProject, "F R C A DatabaseAccess"},
	{"DLI", "dli", typeProject, "F R C A ServiceUser ServiceAdmin"},
	{"DLI Datasource Connections Agency", "dli", typeProject, "Access"},
	{"DLI Notification Agency", "dli", typeProject, "Access"},
	{"DIS", "dis", typeProject, "F R C A O U"},
	{"DIS Agency OBS", "dis", typeGlobal, "Access"},
	{"DIS Agency SMN", "dis", typeProject, "Access"},
	{"CSS", "css", typeProject, "F R C A"},
	{"CloudTable", "cloudtable", typeProject, "F R C A"},
	{"CDM", "cdm", typeProject, "F R C A C FullAccessExceptEIPUpdating"},
	{"GES", "ges", typeProject, "F R C A D M"},
	{"DAYU", "dayu", typeProject, "F R C A U"},
	{"DLV", "dlv", typeProject, "F R C"},
	{"TICS", "tics", typeProject, "F R C A"},
	{"DSC", "dsc", typeProject, "F R DashboardReadOnlyAccess"},
	{"DataArtsInsight", "dataartsinsight", typeProject, "F R C U"},
	{"DataArtsFabric", "dataartsfabric", typeProject, "F R C D"},
	// Artificial intelligence.
	{"ModelArts", "modelarts", typeProject, "F C DependencyAccess"},
	{"PanguLM", "pangu", typeProject, "F R D"},
	{"OCR", "ocr", typeProject, "F R C A"},
	{"FRS", "frs", typeProject, "F R C A"},
	{"Image", "image", typeProject, "F R C A"},
	{"ImageSearch", "imagesearch", typeProject, "F R C A"},
	{"Moderation", "moderation", typeProject, "F R C A"},
	{"NLP", "nlp", typeProject, "F R C A"},
	{"SIS", "sis", typeProject, "F R C A"},
	{"CBS", "cbs", typeProject, "F R C A Guest"},
	{"VAS", "vas", typeProject, "F R C"},
	{"VIAS", "vias", typeProject, "F R C A"},
	{"VIS", "vis", typeProject, "F R C"},
	{"HiLens", "hilens", typeProject, "F R C"},
	{"EIHealth", "eihealth", typeProject, "F R U D"},
	{"KooSearch", "koosearch", typeProject, "F R U"},
	{"OptVerse", "optverse", typeProject, "F R C"},
	// Security.
	{"KMS", "kms", typeProject, "A CMKFullAccess CMKReadOnlyAccess"},
	{"CSMS", "csms", typeProject, "F R C"},
	{"DEW", "kps", typeProject, "KeypairFullAccess KeypairReadOnlyAccess"},
	{"DHSM", "dhsm", typeProject, "F R C"},
	{"HSS", "hss", typeProject, "F R C A AgentAccess"},
	{"CGS", "cgs", typeProject, "F R C A"},
	{"WAF", "waf", typeProject, "F R C A"},
	{"Anti-DDoS", "anti-ddos", typeProject, "F R C A"},
	{"CNAD", "cnad", typeGlobal, "F R"},
	{"CAD", "aad", typeGlobal, "F R A"},
	{"DBSS", "dbss", typeProject, "F R SystemAdministrator AuditAdministrator SecurityAdministrator"},
	{"SecMaster", "secmaster", typeProject, "F R O"},
	{"SA", "sa", typeGlobal, "F R"},
	{"VSS", "vss", typeGlobal, "F R A"},
	{"CFW", "cfw", typeProject, "F R U"},
	{"CBH", "cbh", typeProject, "F R C A"},
	{"SCM", "scm", typeGlobal, "F R A"},
	{"PCA", "pca", typeGlobal, "F R"},
	{"EdgeSec", "edgesec", typeGlobal, "F R"},
	{"RASP", "rasp", typeProject, "F R C"},
	{"CodeGuard", "codeguard", typeProject, "F R C"},
	{"SES", "ses", typeGlobal, "F R A"},
	// Development.
	{"DevCloud", "devcloud", typeProject, "F R C A"},
	{"ProjectMan", "projectman", typeProject, "F R ConfigOperations"},
	{"CodeArtsRepo", "codeartsrepo", typeProject, "F R D"},
	{"CodeArtsBuild", "codeartsbuild", typeProject, "F R D"},
	{"CodeArtsDeploy", "codeartsdeploy", typeProject, "F R D O"},
	{"CodeArtsPipeline", "codeartspipeline", typeProject, "F R D"},
	{"CodeArtsCheck", "codeartscheck", typeProject, "F R D"},
	{"CodeArtsArtifact", "codeartsartifact", typeProject, "F R D"},
	{"CodeArtsTestPlan", "codeartstestplan", typeProject, "F R D"},
	{"CodeArtsReq", "codeartsreq", typeProject, "F R D"},
	{"CodeArtsInspector", "codeartsinspector", typeProject, "F R C"},
	{"CodeArtsGovernance", "codeartsgovernance", typeProject, "F R C"},
	{"CodeArtsModeling", "codeartsmodeling", typeProject, "F R D"},
	{"CloudIDE", "cloudide", typeProject, "F R U"},
	{"CPTS", "cpts", typeProject, "F R C A"},
	{"AstroZero", "astrozero", typeProject, "F R D U"},
	// Internet of things.
	{"IoTDA", "iotda", typeProject, "F R C"},
	{"IoTA", "iota", typeProject, "F R C"},
	{"IoTEdge", "iotedge", typeProject, "F R C"},
	{"IoTDM", "iotdm", typeProject, "F R C A"},
	{"OceanConnect", "oceanconnect", typeProject, "F R C A"},
	{"IoTVehicle", "iotvehicle", typeProject, "F R C"},
	// Applications and media.
	{"Workspace", "workspace", typeProject, "F R C A DesktopsManager UserManager ImageManager"},
	{"Live", "live", typeProject, "F R C A C"},
	{"VOD", "vod", typeProject, "F R C A C Group"},
	{"MPC", "mpc", typeProject, "F R C A C"},
	{"RTC", "rtc", typeProject, "F R C"},
	{"MetaStudio", "metastudio", typeProject, "F R C"},
	{"Meeting", "meeting", typeGlobal, "F R A"},
	{"KooMessage", "koomessage", typeProject, "F R C A C"},
	{"KooPhone", "koophone", typeProject, "F R C"},
	{"KooMap", "koomap", typeProject, "F R C"},
	{"KooDrive", "koodrive", typeProject, "F R C"},
	{"CloudVR", "cloudvr", typeProject, "F R C"},
	{"IVM", "ivm", typeProject, "F R C A"},
	{"MSGSMS", "msgsms", typeProject, "F R C A"},
	{"PrivateNumber", "rtcprivatenumber", typeProject, "F R C A"},
	{"VoiceCall", "voicecall", typeProject, "F R C A"},
	{"CEC", "cec", typeProject, "F R C"},
	{"DSP", "dsp", typeProject, "F R C"},
	{"CloudDevice", "clouddevice", typeProject, "F R C"},
	{"GSL", "gsl", typeGlobal, "F R C"},
	{"Orchestration", "orchestration", typeProject, "F R C"},
	{"CraftArts", "craftarts", typeProject, "F R D"},
	{"DME", "idme", typeProject, "F R D"},
}

// knownPolicies are the policies of services whose internal name (facts 3.4) or actions are known, or matter.
var knownPolicies = [...]struct{ name, internal, allow string }{
	{"VPC Administrator", "vpc_netadm", ""},
	{"SMN Administrator", "smn_adm", ""},
	{"OBS Buckets Viewer", "obs_b_list", "obs:bucket:ListAllMyBuckets obs:bucket:GetBucketLocation"},
	{nameIAMRead, "", "iam:*:get* iam:*:list* iam:*:check*"},
	{nameRMSRead, "", "rms:*:get* rms:*:list*"},
	{nameDCSUser, "", "dcs:*:get* dcs:*:list* dcs:instance:modifyStatus dcs:instance:swap dcs:instance:deleteData " +
		"dcs:instance:webcli dcs:backup:* dcs:whitelist:modify dcs:instance:modifyAuthInfo"},
}

// baseRole is one of the oldest roles, which belong to no service (facts 3.4). every are the resource:operation parts
// that it allows of every service but IAM.
type baseRole struct{ name, internal, scope, allow, every, depends, description string }

var baseRoles = [...]baseRole{
	{nameTenantAdmin, "te_admin", typeBoth, "", "*:*", "", "All services except identity management."},
	{nameTenantGuest, "readonly", typeBoth, "", "*:get* *:list*", "", "Looking at all services but identity management."},
	{"Security Administrator", "secu_admin", typeGlobal, "iam:*:*", "", "", "All of identity management."},
	{"Agent Operator", "te_agency", typeGlobal, "iam:agencies:assume iam:tokens:assume", "", "", "Switching into agencies."},
	{"Server Administrator", "server_adm", typeProject, "ecs:*:* evs:*:* ims:*:* vpc:*:get* vpc:*:list* vpc:ports:*", "",
		nameTenantGuest, "Servers, disks and images."},
}

// serviceAgencyPolicies are made for the agencies of one service. What the ones for COC allow is not public (facts 14):
// it is inferred from what COC's documentation says they are used for.
var serviceAgencyPolicies = [...]struct{ name, catalog, scope, allow string }{
	{nameCOCDefault, "COC", typeProject, cocAllows},
	{nameCOCService, "COC", typeProject, cocAllows},
	{"MgC AzMigrationAgencyPolicy", "MgC", typeProject, "ecs:*:get* ecs:*:list* ecs:cloudServers:create sms:*:*"},
	{"MgC AppDiscoveryAgencyPolicy", "MgC", typeProject, "ecs:*:list* rds:*:list* obs:bucket:List* vpc:*:list*"},
	{"CCE ServiceAgencyPolicy", "CCE", typeProject, "ecs:*:* evs:*:* vpc:*:* elb:*:* aom:*:* swr:*:get*"},
	{"RFS ServiceAgencyPolicy", "RFS", typeProject, "rf:*:* kms:cmk:decrypt*"},
	{"SecMaster ServiceAgencyPolicy", "SecMaster", typeProject, "hss:*:list* waf:*:list* cfw:*:list* lts:*:*"},
	{"AOM AgentAgencyPolicy", "AOM", typeProject, "aom:*:get* aom:*:list* ces:*:get* cce:cluster:get"},
}

const cocAllows = "smn:topic:list smn:topic:subscribe smn:tag:list ecs:cloudServers:list ecs:cloudServers:reboot " +
	"ecs:cloudServers:changeOS ecs:cloudServers:start ecs:cloudServers:stop rds:instance:list rds:instance:restart " +
	"organizations:organizations:get organizations:accounts:list organizations:ous:list"

// identityServices are the services that have identity policies here.
const identityServices = "IAM Organizations RAM RGC EPS TMS COC Config RFS CES CTS LTS AOM SMN ECS BMS IMS CCE SWR EVS " +
	"OBS CBR VPC EIP ELB NAT DNS RDS DDS GaussDB DCS DMS FunctionGraph KMS CSMS HSS WAF SecMaster CFW DLI MRS"
